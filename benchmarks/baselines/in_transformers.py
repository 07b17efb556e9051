"""Our model in transformers, and its `generate` as the network of a tree."""

import pathlib
import tempfile

import numpy as np
import torch
import transformers

from alphallm import models


def network_of(model, params, dtype: str = "float32"):
  """Return a model of ours as one of transformers, by way of its files."""
  with tempfile.TemporaryDirectory() as folder:
    models.save(pathlib.Path(folder) / "model", model, params)
    return transformers.AutoModelForCausalLM.from_pretrained(
      pathlib.Path(folder) / "model", dtype=getattr(torch, dtype)
    )


def evaluator(network, *, num_candidates: int, step_tokens: int):
  """Return the `evaluate` of `in_python.search`, for one text at a time.

  Candidates are sampled independently, and each passes the whole text again;
  the value is the mean probability of the most probable candidate's tokens.

  Args:
    network: a causal language model of transformers.
    num_candidates: K.
    step_tokens: T, of every candidate.
  """

  def evaluate(texts):
    (text,) = texts
    prompt = torch.tensor([text])
    with torch.inference_mode():
      found = network.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=step_tokens,
        min_new_tokens=step_tokens,
        num_return_sequences=num_candidates,
        do_sample=True,
        top_k=0,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
      )
      steps = found.sequences[:, len(text) :]
      logits = torch.stack(found.logits, dim=1)
      log_probs = torch.log_softmax(logits, dim=-1)
      log_probs = log_probs.gather(-1, steps[..., None])[..., 0].sum(-1)
    value = torch.exp(log_probs.max() / step_tokens)
    return steps.numpy()[None], log_probs.numpy()[None], np.array([value])

  return evaluate
