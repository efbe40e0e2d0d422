import { bedExperiment } from "../continual-bed.ts";

export const experiment = bedExperiment({
  title: "Five permutations of pixels, one after the other",
  about: `Ten digits of 9 x 9 pixels, 400 rows a task, each task with its pixels in another order (\`data glyphs --stream pixels=1,2,3,4,5\`); a
perceptron with 64 hidden units, three epochs of 20 rows a step for each task, \`joint\` as many of all tasks mixed. Accuracy on 200 other
rows of each task after the last one. Methods have the settings that they come with; the rate was chosen
on seed 1 for \`seq\`, \`er\` and \`joint\`. \`dst-cl\` alone knows which
task a row is of.`,
  bed: {
    stream: () => "glyphs --canvas 9 --shift 0 --noise 0.2 --stream pixels=1,2,3,4,5 --size 400",
    config: { model_type: "mlp", input_size: 81, hidden_sizes: [64], num_labels: 10 },
    line: "--epochs 3 --batch-size 20 --lr 1e-2",
    score: "accuracy",
  },
  bounds: {
    "er beside seq: average": { above: 0.1 },
    "ewc beside seq: average": { above: 0 },
    "joint beside seq: average": { above: 0.1 },
    "joint beside er: average": { above: 0 },
  },
});
