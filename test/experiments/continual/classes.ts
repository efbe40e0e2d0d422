import { bedExperiment } from "../continual-bed.ts";

export const experiment = bedExperiment({
  title: "Ten digits, two new ones with each task",
  about: `Class-incremental: five tasks of two digits each, and after the last one which of the ten is it? (\`data glyphs --stream
digits=01,23,45,67,89\`, \`adapt --scenario class\`), 300 rows of 9 x 9 pixels a task; a perceptron with 64 hidden units, three epochs of 20
rows a step for each task, \`joint\` as many of all tasks mixed. Accuracy on 200 other rows of each task after the last one. Methods have the
settings that they come with.`,
  bed: {
    stream: () => "glyphs --canvas 9 --shift 0 --noise 0.2 --stream digits=01,23,45,67,89 --size 300",
    config: { model_type: "mlp", input_size: 81, hidden_sizes: [64], num_labels: 10 },
    line: "--scenario class --epochs 3 --batch-size 20 --lr 1e-2",
    score: "accuracy",
  },
  bounds: {
    "er beside seq: average": { above: 0.1 },
    "joint beside seq: average": { above: 0.2 },
    "joint beside er: average": { above: 0 },
  },
});
