"""Qwen2.5-0.5B on grade-school maths, for a night on one GPU of 80 GB.

--config configs/gsm8k_qwen2.5.py --config.task.data_dir=FOLDER
--config configs/gsm8k_qwen2.5.py:tiny   any tiny model, in seconds

FOLDER is where `alphallm.tasks.grade_school.write` made a dataset of local
files in GSM8K's form. The model is fetched from the Hugging Face hub, or is a
local folder: --config.model.pretrained=PATH.

Parameters, their average, AdamW's two moments, gradients and the model that
the policy is held to are 6 x 2.0 GB in float32; what a step of learning keeps
for its gradients grows with learner.batch_size.
"""

from ml_collections import config_dict


def get_config(size: str = "full"):
  """Return the config; `size` is `full` or `tiny`."""
  if size not in ("full", "tiny"):
    raise ValueError(f"gsm8k_qwen2.5.py:{size}: give full or tiny")
  config = config_dict.ConfigDict()
  config.seed = 0
  config.task = dict(
    kind="GradeSchool",
    data_dir="data",
    as_chat=True,  # the prompt is a conversation
    max_prompt_tokens=384,
    max_step_tokens=64,  # a step is a line of a solution
    max_steps=12,
  )
  config.model = dict(
    pretrained="Qwen/Qwen2.5-0.5B-Instruct",
    dtype="bfloat16",  # of the computation
    param_dtype="float32",  # of the parameters
    remat="",  # "full": layers are passed again for their gradients
  )
  config.search = dict(
    num_simulations=16,  # nodes expanded below the root, in a move
    num_candidates=4,  # steps sampled at a node
    max_depth=12,  # steps from the root to a leaf
    permission="checker",  # may ask what answers right
    discount=1.0,  # of the value, per step
    prior_temperature=8.0,  # long steps: their log-probabilities lie far apart
    policy=dict(kind="gumbel"),
  )
  config.selfplay = dict(
    num_slots=64,  # problems under way at the same time
    num_moves=4,  # searches of each slot in an iteration
    num_targets=1,  # candidates of a state that are learned from
    ahead=0,  # rounds played before the one that is learned from
    push_every=1,  # iterations of learning after which its weights play
  )
  config.learner = dict(
    batch_size=4,  # problems, each with all of its states
    learning_rate=1e-5,  # peak
    optimizer="adamw",  # or "adafactor"
    moment_dtype="float32",  # of the optimizer's first moment
    scan_layers=False,  # learning passes layers in one loop: deep networks
    warmup_steps=50,
    decay_steps=5_000,  # of the cosine
    weight_decay=0.0,
    value_rate=20.0,  # of the value head, which is new, x learning_rate
    kl_weight=0.02,  # holds the policy to the pretrained one
    average=0.99,  # decay per step of the average of the weights
    capacity=4_096,  # problems in the replay buffer
    min_examples=128,  # problems before the first step
    reuse=2.0,  # times that a problem is used, at most
    max_steps=64,  # between two rounds of self-play
    worked=0,  # worked answers in the buffer from the start, to imitate
    learn_from="solutions",  # found in trees
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
    num_iterations=200,  # of self-play and learning
    evaluate_every=20,  # iterations
    checkpoint_every=20,  # iterations
    num_eval_problems=256,
    eval_batch_size=64,
    eval_simulations=16,
  )
  if size == "tiny":
    config.task.update(max_step_tokens=8, max_steps=3)
    config.search.update(num_simulations=2, num_candidates=3, max_depth=3)
    config.selfplay.num_slots = 4
    config.learner.update(batch_size=2, capacity=16, min_examples=1)
    config.learner.max_steps = 2
    config.train.update(num_iterations=4, evaluate_every=2, checkpoint_every=2)
    config.train.update(num_eval_problems=4, eval_simulations=2)
  return config
