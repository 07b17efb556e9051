"""Blocks world of 3 to 5 blocks, from random weights, in minutes on 2 cores."""

from ml_collections import config_dict


def get_config():
  """Return the config; every value can be set by `--config.ROOM.NAME=VALUE`."""
  config = config_dict.ConfigDict()
  config.seed = 0
  config.task = dict(
    kind="BlocksWorld",
    min_blocks=3,  # smallest problem
    max_blocks=5,  # largest problem
    context="reset",  # the policy reads the present state alone
  )
  config.model = dict(
    num_layers=3,
    embed_dim=64,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    mlp="swiglu",
    mlp_dim=128,
  )
  config.search = dict(
    num_simulations=16,  # nodes expanded below the root, in a move
    num_candidates=8,  # steps sampled at a node
    max_depth=12,  # steps from the root to a leaf
    permission="checker",  # may ask what is legal and what solves
    discount=0.97,  # of the value, per step
    rules_propose=True,  # random legal steps where the policy has none
    searched_steps=0,  # of an episode, the first ones; 0: all
    replant=False,  # a tree that can win no more is grown anew
    shrink=0,  # quarterings of the batch, once so few problems are unsolved
    policy=dict(kind="gumbel", value_scale=0.1, rescale_values=True),
  )
  config.selfplay = dict(
    num_slots=128,  # problems under way at the same time
    num_moves=8,  # searches of each slot in an iteration
    num_targets=1,  # candidates of a state that are learned from
    ahead=0,  # rounds played before the one that is learned from
    push_every=1,  # iterations of learning after which its weights play
  )
  config.learner = dict(
    batch_size=128,  # states
    learning_rate=2e-3,  # peak, of AdamW
    warmup_steps=100,
    decay_steps=4_500,  # of the cosine
    average=0.99,  # decay per step of the average of the weights
    capacity=40_000,  # states in the replay buffer
    min_examples=2_000,  # states before the first step
    reuse=16.0,  # times that a state is used, at most
    max_steps=100,  # between two rounds of self-play
    augment=True,  # each time under other names of the blocks
    learn_from="solutions",  # found in trees; or "solved" episodes, or "all"
    failure_share=0.25,  # of the states that teach a value alone, kept
  )
  config.mesh = dict(
    data=0,  # devices that batches are split over; 0: all that are left
    fsdp=1,  # devices that parameters and batches are split over
    tensor=1,  # devices that heads and hidden units are split over
    min_size=2**16,  # elements of the smallest array that is split
    gather="entry",  # parameters in self-play: all at "entry", or each "layer"
    actors=0,  # devices that play while the others learn; 0: all do both
  )
  config.train = dict(
    num_iterations=50,  # of self-play and learning
    evaluate_every=10,  # iterations
    checkpoint_every=10,  # iterations
    num_eval_problems=256,
    eval_simulations=16,
    eval_level=0,  # size of the problems measured; 0: all sizes
    first_level=0,  # largest problems at first; 0: all from the start
    level_up=0.9,  # share of episodes solved at which the level rises
  )
  return config
