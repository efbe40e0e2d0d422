/**
 * Soft overlong punishment: 0 up to `cache` tokens before the limit, then down a line to -1 at the limit and beyond.
 * Yu et al. 2025 (DAPO), https://arxiv.org/abs/2503.14476
 */
import { defineVerifier, each } from "../../verifying/contract.ts";
import { lengthOf, MAX, mostOf } from "../../verifying/lengths.ts";

export const method = defineVerifier({
  name: "overlong",
  title: "Soft overlong punishment",
  about: "0, falling to -1 over the last tokens before the limit",
  cite: "arXiv:2503.14476",
  laws: { alone: true, truth: "a completion may be long", range: true },
  range: [-1, 0],
  penalty: "it is 0 or less by itself, so this would reward long answers",
  options: {
    max: MAX,
    cache: {
      type: "number.integer >= 1",
      value: "CACHE",
      help: "tokens over which it falls; a fifth of max when left out",
    },
  },
  trial: "8,4",
  make(setup) {
    const most = mostOf(setup, { max: setup.values.max });
    const cache = setup.values.cache ?? Math.max(1, Math.round(most / 5));
    if (cache > most) setup.refuse(`cache is ${cache}, more than max, which is ${most}`, "it is a part of max");
    return each((answered) => {
      const left = most - cache - lengthOf(answered, "tokens");
      return Math.max(-1, Math.min(0, left / cache));
    });
  },
});
