/**
 * Flips of biased coins, of which a seed has so many: a reader may remember the coins, or estimate the bias of any coin
 * from its flips. Wurgaft et al. 2025, In-Context Learning Strategies Emerge Rationally,
 * https://arxiv.org/abs/2506.17859, with biases on a grid of 256. `evaluate --probe icl-strategy` tells which a model
 * does.
 */
import { BEGIN, coinBiases, flips, gridBiases, HEADS } from "../coins.ts";
import { ln } from "../portable.ts";
import { Random } from "../random.ts";
import { task } from "../task.ts";

export const method = task({
  name: "coins",
  title: "Biased coins",
  about: "flips of one of so many biased coins, to be remembered or to be estimated from the flips themselves",
  cite: "arXiv:2506.17859",
  splits: "independent sequences of the same coins",
  options: {
    coins: { type: "0 <= number.integer <= 65536", default: 16, help: "coins of the seed; 0: a new one for each row" },
    length: { type: "1 <= number.integer <= 4096", default: 32, help: "flips of a row" },
  },
  laws: {
    apart: "sequences are independent draws, and one may be drawn in two splits",
    distinctRows: "sequences are independent draws, and one may come twice",
    answered: "a sequence asks nothing",
    endless: true,
  },
  trials: [{}, { coins: 1, length: 3 }, { coins: 0, length: 5 }],

  open({ seed, split }, { coins, length }) {
    const biases = coins === 0 ? gridBiases() : coinBiases(seed, coins);
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { tails: 0, heads: HEADS, begin: BEGIN, vocabulary: BEGIN! + 1, uniform_loss: ln(2) },
      row: (index) => ({ input_ids: flips(biases, length, new Random(seed, "flips", split, index)) }),
    };
  },
});
