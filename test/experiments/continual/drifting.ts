import { bedExperiment } from "../continual-bed.ts";

export const experiment = bedExperiment({
  title: "Digits that turn further and grow noisier",
  about: `Ten digits of 12 x 12 pixels, turned by 0, 30, 60, 90 and 120 degrees under noise of 0.1 to 0.3 (\`data glyphs --stream
angle=0,30,60,90,120 --stream noise=...\`), 300 rows a task; a perceptron with 64 hidden units, three epochs of 20 rows a step for each task,
\`joint\` as many of all tasks mixed. Accuracy on 200 other rows of each task after the last one. Methods have the settings that they come
with. \`dst-cl\` alone knows which
task a row is of.`,
  bed: {
    stream: () =>
      "glyphs --canvas 12 --shift 0 --stream angle=0,30,60,90,120 --stream noise=0.1,0.15,0.2,0.25,0.3 --size 300",
    config: { model_type: "mlp", input_size: 144, hidden_sizes: [64], num_labels: 10 },
    line: "--epochs 3 --batch-size 20 --lr 1e-2",
    score: "accuracy",
  },
  bounds: {
    "er beside seq: average": { above: 0 },
    "joint beside seq: average": { above: 0.05 },
  },
});
