import { sharedGpu } from "../../support/gpu.ts";
import { type ModeFigures, twoModes } from "../distill-worlds.ts";
import { experimentOf } from "../experiment.ts";

const DIVERGENCES = { kd: "forward", "reverse-kl": "reverse", jsd: "jensen", tvd: "variation" } as const;

export const experiment = experimentOf({
  title: "Divergences of a student too small for its teacher",
  about: `Two likely labels for every input, and three numbers of the student to hold them. Every method goes on for 300 steps from the
same student. "Outside" is the mass where the teacher has less than 0.01. "Least": what a method minimises, over the least that
\`kd\`, \`jsd\`, \`reverse-kl\` and \`tvd\` leave of it otherwise.`,
  seeds: [1, 2, 3],
  tested: 3,
  long: true,
  figures: {
    "kd, forward KL ÷ least": { below: 0.97 },
    "reverse-kl, reverse KL ÷ least": { below: 0.97 },
    "jsd, Jensen-Shannon ÷ least": { below: 0.97 },
    "tvd, total variation ÷ least": { below: 0.97 },
    "entropy, kd − jsd": { above: 0.08 },
    "entropy, jsd − reverse-kl": { above: 0.1 },
    "outside, kd ÷ jsd": { above: 1.3 },
    "outside, jsd ÷ reverse-kl": { above: 1.3 },
    "forward KL, reverse-kl ÷ kd": { above: 1.5 },
    "reverse KL, kd ÷ reverse-kl": { above: 1.5 },
    "reverse KL, skew-kl ÷ kd": { below: 0.9 },
    "outside, skew-kl ÷ kd": { below: 0.9 },
    "forward KL, skew-rkl ÷ reverse-kl": { below: 0.85 },
    "entropy, skew-rkl − reverse-kl": { above: 0.05 },
    "both KLs, akl ÷ kd": { below: 0.93 },
    "both KLs, akl ÷ reverse-kl": { below: 0.9 },
    "both KLs, bd-kd ÷ kd": { below: 0.93 },
    "both KLs, bd-kd ÷ reverse-kl": { below: 0.9 },
    "reverse KL, taid ÷ kd": { below: 0.93 },
    "total variation, taid ÷ kd": { below: 0.985 },
    "Jensen-Shannon, taid ÷ kd": { below: 0.97 },
    "outside, taid ÷ kd": { below: 0.93 },
    "forward KL, taid ÷ reverse-kl": { below: 0.8 },
  },
  async run(seed) {
    const found = await twoModes(await sharedGpu(), seed);
    const of = (name: string) => found.get(name)!;
    const ratio = (figure: keyof ModeFigures, a: string, b: string) => of(a)[figure] / of(b)[figure];
    const more = (a: string, b: string) => of(a).entropy - of(b).entropy;
    const least = (name: keyof typeof DIVERGENCES) => {
      const figure = DIVERGENCES[name];
      const others = Object.keys(DIVERGENCES).filter((other) => other !== name);
      return of(name)[figure] / Math.min(...others.map((other) => of(other)[figure]));
    };
    const both = (name: string) => of(name).forward + of(name).reverse;
    return {
      "kd, forward KL ÷ least": least("kd"),
      "reverse-kl, reverse KL ÷ least": least("reverse-kl"),
      "jsd, Jensen-Shannon ÷ least": least("jsd"),
      "tvd, total variation ÷ least": least("tvd"),
      "entropy, kd − jsd": more("kd", "jsd"),
      "entropy, jsd − reverse-kl": more("jsd", "reverse-kl"),
      "outside, kd ÷ jsd": ratio("outside", "kd", "jsd"),
      "outside, jsd ÷ reverse-kl": ratio("outside", "jsd", "reverse-kl"),
      "forward KL, reverse-kl ÷ kd": ratio("forward", "reverse-kl", "kd"),
      "reverse KL, kd ÷ reverse-kl": ratio("reverse", "kd", "reverse-kl"),
      "reverse KL, skew-kl ÷ kd": ratio("reverse", "skew-kl", "kd"),
      "outside, skew-kl ÷ kd": ratio("outside", "skew-kl", "kd"),
      "forward KL, skew-rkl ÷ reverse-kl": ratio("forward", "skew-rkl", "reverse-kl"),
      "entropy, skew-rkl − reverse-kl": more("skew-rkl", "reverse-kl"),
      "both KLs, akl ÷ kd": both("akl") / both("kd"),
      "both KLs, akl ÷ reverse-kl": both("akl") / both("reverse-kl"),
      "both KLs, bd-kd ÷ kd": both("bd-kd") / both("kd"),
      "both KLs, bd-kd ÷ reverse-kl": both("bd-kd") / both("reverse-kl"),
      "reverse KL, taid ÷ kd": ratio("reverse", "taid", "kd"),
      "total variation, taid ÷ kd": ratio("variation", "taid", "kd"),
      "Jensen-Shannon, taid ÷ kd": ratio("jensen", "taid", "kd"),
      "outside, taid ÷ kd": ratio("outside", "taid", "kd"),
      "forward KL, taid ÷ reverse-kl": ratio("forward", "taid", "reverse-kl"),
    };
  },
});
