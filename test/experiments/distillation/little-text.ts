import { sharedGpu } from "../../support/gpu.ts";
import { littleText } from "../distill-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "Language models: 16 texts for the student, 1024 for the teacher",
  about: `A language of 12 symbols in which two decide the next; labels alone are learnt by heart (uniform is 2.48). Losses and forward
KLs to the teacher on other texts; "own" is the reverse KL on what the student itself writes. \`seq-kd\` has texts that the teacher
writes, \`jsd\` on-policy texts half of which the student writes. On 64 texts the attention maps are those of a teacher, or of a model
that learnt nothing.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "labels, loss": {},
    "kd − labels, loss": { below: -0.7 },
    "kd ÷ labels, KL": { below: 0.6 },
    "hidden − labels, loss": { below: -0.7 },
    "hidden ÷ labels, KL": { below: 0.6 },
    "attention − labels, loss": { below: -0.7 },
    "attention ÷ labels, KL": { below: 0.6 },
    "seq-kd − labels, loss": { below: -0.7 },
    "seq-kd ÷ labels, KL": { below: 0.6 },
    "uld − labels, loss": { below: -0.5 },
    "uld ÷ labels, KL": { below: 0.8 },
    "uld − kd, loss": { above: 0.2 },
    "seq-kd − kd, loss": { below: -0.08 },
    "jsd, on-policy ÷ off-policy, own": { below: 0.9 },
    "jsd, on-policy − off-policy, loss": { below: -0.1 },
    "64 texts, labels, loss": {},
    "64 texts, attention − labels, loss": { below: -0.15 },
    "64 texts, untrained − attention, loss": { above: 0.15 },
    "64 texts, untrained − labels, loss": { above: -0.1 },
  },
  async run(seed) {
    const found = await littleText(await sharedGpu(), seed);
    const { labels, kd, uld, seqKd, onPolicy, offPolicy, more } = found;
    const against = (name: "kd" | "hidden" | "attention" | "seqKd" | "uld") => ({
      loss: found[name].loss - labels.loss,
      kl: found[name].forward / labels.forward,
    });
    return {
      "labels, loss": labels.loss,
      "kd − labels, loss": against("kd").loss,
      "kd ÷ labels, KL": against("kd").kl,
      "hidden − labels, loss": against("hidden").loss,
      "hidden ÷ labels, KL": against("hidden").kl,
      "attention − labels, loss": against("attention").loss,
      "attention ÷ labels, KL": against("attention").kl,
      "seq-kd − labels, loss": against("seqKd").loss,
      "seq-kd ÷ labels, KL": against("seqKd").kl,
      "uld − labels, loss": against("uld").loss,
      "uld ÷ labels, KL": against("uld").kl,
      "uld − kd, loss": uld.loss - kd.loss,
      "seq-kd − kd, loss": seqKd.loss - kd.loss,
      "jsd, on-policy ÷ off-policy, own": onPolicy.own / offPolicy.own,
      "jsd, on-policy − off-policy, loss": onPolicy.loss - offPolicy.loss,
      "64 texts, labels, loss": more.labels.loss,
      "64 texts, attention − labels, loss": more.attention.loss - more.labels.loss,
      "64 texts, untrained − attention, loss": more.untrained.loss - more.attention.loss,
      "64 texts, untrained − labels, loss": more.untrained.loss - more.labels.loss,
    };
  },
});
