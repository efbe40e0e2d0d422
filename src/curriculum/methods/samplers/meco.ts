/**
 * MeCo: documents that say where they come from for most of the training, plain ones for the cool-down, so that the
 * model works without. Gao et al. 2025, https://arxiv.org/abs/2501.01956.
 *
 * The data come as pairs of groups, with metadata and without: the i-th of `conditioned` belongs to the i-th of
 * `plain`. The mixture of sources is the same in both phases, and the learning-rate schedule runs through both.
 * Metadata carry no loss when the data have them as the prompt and the document as the completion.
 */
import { UserError } from "../../../errors.ts";
import { normalised } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { placesOf } from "../../mixture-options.ts";
import { staged } from "../../staged.ts";

export const method = defineSampler({
  name: "meco",
  title: "Metadata, then cool-down",
  about: "groups with metadata first, their plain counterparts for the last part",
  cite: "arXiv:2501.01956",
  laws: {
    keepsEveryGroup: "groups with metadata are left out of the cool-down",
    followsLosses: "phases are fixed before the training",
    anyGroupOrder: true,
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  trials: [{ conditioned: ["a", "b"], plain: ["d", "c"] }],
  options: {
    conditioned: { type: "string[]", required: true, help: "groups with metadata" },
    plain: { type: "string[]", help: "the same sources without, in the same order; all other groups when left out" },
    cooldown_share: {
      type: "0 <= number <= 1",
      default: 0.1,
      help: "share of the steps without metadata; 1 is plain training",
    },
    plain_share: { type: "0 <= number < 1", default: 0, help: "share of plain rows before the cool-down" },
    mixture: { type: "number[]", help: "share of every pair, in their order; by size of both when left out" },
  },
  make({ groups, steps, values }) {
    const { cooldown_share, plain_share, mixture } = values;
    const conditioned = placesOf(values.conditioned, groups, "--conditioned");
    const rest = groups.flatMap(({ name }, i) => (conditioned.includes(i) ? [] : [name]));
    const plain = placesOf(values.plain ?? rest, groups, "--plain");
    const both = plain.find((place) => conditioned.includes(place));
    if (both !== undefined) throw new UserError(`${groups[both]!.name} is both in --conditioned and in --plain`);
    if (plain.length !== conditioned.length || plain.length === 0) {
      throw new UserError(
        `--conditioned names ${conditioned.length} groups, and there are ${plain.length} plain ones`,
        "every group with metadata needs its counterpart without",
      );
    }
    if (
      mixture &&
      (mixture.length !== plain.length || mixture.some((m) => !(m >= 0)) || mixture.every((m) => m === 0))
    ) {
      throw new UserError(
        `--mixture ${mixture.join(",")} is no mixture of ${plain.length} pairs`,
        "one share per pair",
      );
    }
    const sizes = plain.map((place, i) => groups[place]!.rows + groups[conditioned[i]!]!.rows);
    const pairs = normalised(mixture ?? sizes);
    const mix = (share: number) => {
      const probs = groups.map(() => 0);
      for (const [i, pair] of pairs.entries()) {
        probs[plain[i]!]! += share * pair;
        probs[conditioned[i]!]! += (1 - share) * pair;
      }
      return probs;
    };
    const last = Math.round(cooldown_share * steps);
    return staged([
      { probs: mix(plain_share), steps: steps - last },
      { probs: mix(1), steps: last },
    ]);
  },
});
