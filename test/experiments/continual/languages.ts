import { bedExperiment } from "../continual-bed.ts";
import { decoder } from "../curriculum-lab.ts";

export const experiment = bedExperiment({
  title: "Four languages of the same letters, one after the other",
  about: `Languages of twelve symbols in which each follows the one before by another table (\`data markov --stream seed=...\`), 240 rows of 24
symbols a task; a decoder of one layer, four epochs of 20 rows a step for each task, \`joint\` as many of all tasks mixed. Mean loss in nats
on 200 other rows of each language after the last one: lower is better, and a row tells its language by its symbols alone. Methods have the
settings that they come with, but \`ewc\` \`--lambda 1\` in place of 100, with which it learns nothing after the first task; that was chosen on
seed 1 among 10, 1, 0.3 and 0.1, the rate for \`seq\`, \`er\` and \`joint\`. \`dst-cl\` alone knows which task a row is of.`,
  bed: {
    stream: (seed) => {
      const worlds = [1, 2, 3, 4].map((world) => 10 * seed + world).join(",");
      return `markov --alphabet 12 --order 1 --length 24 --form ids --stream seed=${worlds} --size 240`;
    },
    config: decoder({ vocab_size: 12 }),
    line: "--epochs 4 --batch-size 20 --lr 1e-2",
    score: "loss",
    settings: { ewc: "--lambda 1" },
  },
  bounds: {
    "ewc beside seq: average": { above: 0 },
    "er beside seq: average": { above: 0.1 },
    "joint beside seq: average": { above: 0.3 },
    "joint beside er: average": { above: 0 },
  },
});
