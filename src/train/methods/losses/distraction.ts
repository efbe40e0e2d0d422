/**
 * Distraction: a few layers before the head of a perceptron belong to a player of fairness, all other weights to one of
 * accuracy. In every step the former moves by the gap of groups' mean outputs (train/losses/group-gaps.ts) alone, then
 * the latter by the labels' loss alone, so that the outputs stop depending on the group. The layers are put in, and
 * begin as the identity; the result has them as ordinary layers. "Distraction is All You Need for Fairness", 2022.
 *
 * Groups are those of --data. Without such layers it is plain training, bit for bit; under a weight of 0 they stay the
 * identity.
 */
import { isTokens } from "../../../data/batch.ts";
import { lossWeights } from "../../../data/targets.ts";
import { UserError } from "../../../errors.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../../run/batch-programs.ts";
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { ofBatch, type RecordedLoss } from "../../../run/training/objective.ts";
import { scale } from "../../../tensor/ops/elementwise.ts";
import { headLoss } from "../../../tensor/ops/head-loss.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { insertedLayers, lastLayers } from "../../layers/inserted-layers.ts";
import { contrastCount, contrasts, gapLoss } from "../../losses/group-gaps.ts";
import { secondPlayer } from "../../losses/second-player.ts";

/** Parts of the objective, and an input. */
const [FAIRNESS, LABELS, CONTRASTS] = ["fairness", "labels", "contrasts"];

export const method = defineLabelLoss({
  name: "distraction",
  title: "Distraction",
  about: "layers before the head learn that outputs are alike over the groups of --data, all other weights the labels",
  cite: "Distraction is All You Need for Fairness, 2022",
  laws: noLaws("a loss of groups of rows"),
  softens: true,
  whole: true,
  remembers: "the moments of a second player",
  options: {
    distraction_layers: {
      type: "number.integer >= 0",
      default: 2,
      help: "layers that are put in; 0: plain training",
      value: "K",
    },
    distraction_weight: { type: "number >= 0", default: 100, help: "eta, weight of the gap", value: "ETA" },
    distraction_lr: { type: "number > 0", default: 1e-4, help: "rate of their AdamW", value: "RATE" },
    distraction_of: {
      type: "'parity' | 'odds'",
      default: "parity",
      help: "what is alike over groups: mean outputs, or those of the rows of each label",
    },
    distraction_players: {
      type: "'two' | 'one'",
      default: "two",
      help: "one: all weights move by the sum of both losses, to compare with",
    },
  },
  changed: ({ distraction_layers: layers }) =>
    layers === 0 ? undefined : insertedLayers(layers, "--distraction-layers"),
  async own({ model, values, softened, groups = [], begins = false, seed, recompute }) {
    const { distraction_layers: layers, distraction_weight: eta, distraction_of: fairness } = values;
    if (model.task !== "classifier" || model.adapter)
      throw new UserError(
        `--loss distraction trains a whole classifier, and this is ${model.adapter ? "an adapter" : `a ${model.task}`}`,
        "train a classifier, without an adapter",
      );
    if (groups.length < 2)
      throw new UserError(
        "--loss distraction makes outputs alike over the groups of --data, and there is one",
        "give a file for each value of the attribute: --data a=FILE --data b=FILE",
      );
    const compared = { fairness, groups: groups.length, classes: model.sizes.outputs };
    const moves = lastLayers(model, layers, begins);
    const fixed = moves.find(({ trainable }) => !trainable);
    if (fixed)
      throw new UserError(`${fixed.name} is the fairness player's, and is frozen`, "leave out --freeze for it");
    const alone = values.distraction_players === "one";
    const plays = layers > 0 && !alone;
    const player = { moves, own: FAIRNESS!, other: LABELS!, rate: values.distraction_lr, seed };

    const fairnessOf = (rec: Recorder, batch: { readonly rows: number }, logits: Parameters<typeof gapLoss>[1]) =>
      scale(rec, gapLoss(rec, logits, rec.input(CONTRASTS!, [contrastCount(compared), batch.rows])), eta);

    return {
      updates: plays ? [await secondPlayer(model.gpu, player)] : [],
      objective: {
        name: "distraction",
        ...ofBatch((batch) => batch),
        parts: plays ? [FAIRNESS!, LABELS!] : [LABELS!],

        record(rec, batch, part): RecordedLoss {
          const { hidden, head } = model.record(rec, recordInputs(rec, batch), { recompute, statistics: "batch" });
          const one = rec.constant(Float32Array.of(1), [1], "one");
          if (part === FAIRNESS) {
            const loss = fairnessOf(rec, batch, head(hidden));
            return { backward: [[loss, one]], metrics: { loss, fairness_loss: loss } };
          }
          const targets = recordTargets(rec, batch);
          const weights = rec.input("weights", [batch.rows]); // 1 / total where a row counts
          const losses = headLoss(rec, { hidden, head, width: model.sizes.outputs, targets, ...softened });
          const labels = dot(rec, losses, weights);
          if (!alone || eta === 0)
            return { backward: [[losses, weights]], metrics: { loss: labels, label_loss: labels } };
          const loss = fairnessOf(rec, batch, head(hidden));
          return {
            backward: [
              [losses, weights],
              [loss, one],
            ],
            metrics: { loss: labels, label_loss: labels, fairness_loss: loss },
          };
        },

        fill(program, batch, total) {
          if (isTokens(batch)) throw new TypeError("a classifier takes examples");
          fillInputs(program, batch);
          if (program.takes("weights"))
            program.write("weights", lossWeights(batch, fillTargets(program, batch), total));
          if (program.takes(CONTRASTS!)) program.write(CONTRASTS!, contrasts(batch, compared));
        },
      },
    };
  },
});
