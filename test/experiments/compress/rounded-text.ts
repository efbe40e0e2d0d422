import { TextLab } from "../compress-text.ts";
import { experimentOf } from "../experiment.ts";

const BITS = [8, 4, 3] as const;
const METHODS = {
  rtn: "rtn",
  awq: "awq",
  gptq: "gptq",
  "gptq, act-order": "gptq --act-order",
} as const;
const GGUF = ["q3_k", "q2_k"] as const;

const FEW = BITS.filter((bits) => bits < 8);

export const experiment = experimentOf({
  title: "Quantizers on a decoder of 5.5 million parameters",
  about: `The model and the rows of the experiment with pruners. Groups of 128 inputs, with zero points. Perplexity per byte on pages that the
model never saw. Theory has gptq and awq below rounding to nearest, and a GGUF file that weighs its errors by an importance matrix below one
that does not. So small a model, trained so shortly, loses next to nothing to 8 and 4 bits, and what it reads has no outliers, so that gptq at
3 bits alone is asserted.`,
  seeds: [1, 2],
  tested: 1,
  long: true,
  figures: {
    dense: {},
    ...Object.fromEntries(BITS.flatMap((bits) => Object.keys(METHODS).map((name) => [`${name}, ${bits} bits`, {}]))),
    ...Object.fromEntries(
      GGUF.flatMap((type) => [`${type}`, `${type} with an importance matrix`].map((name) => [name, {}])),
    ),
    ...Object.fromEntries(
      FEW.flatMap((bits) =>
        ["gptq", "awq"].map((name) => [
          `${name} / rtn, ${bits} bits`,
          name === "gptq" && bits === 3 ? { below: 1 } : {},
        ]),
      ),
    ),
    ...Object.fromEntries(GGUF.map((type) => [`${type} with / without`, {}])),
  },
  async run(seed) {
    const lab = await TextLab.open(seed);
    const found: Record<string, number> = { dense: await lab.perplexity("model/") };
    for (const bits of BITS)
      for (const [name, line] of Object.entries(METHODS))
        found[`${name}, ${bits} bits`] = await lab.after(`--quant ${line} --bits ${bits}`);
    for (const bits of FEW)
      for (const name of ["gptq", "awq"])
        found[`${name} / rtn, ${bits} bits`] = found[`${name}, ${bits} bits`]! / found[`rtn, ${bits} bits`]!;
    const matrix = await lab.importance();
    for (const type of GGUF) {
      const plain = await lab.asGguf(`--gguf-type ${type}`);
      const weighed = await lab.asGguf(`--gguf-type ${type} --gguf-imatrix ${matrix}`);
      found[type] = plain;
      found[`${type} with an importance matrix`] = weighed;
      found[`${type} with / without`] = weighed / plain;
    }
    return found;
  },
});
