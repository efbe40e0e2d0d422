import { bedExperiment } from "../continual-bed.ts";

export const experiment = bedExperiment({
  title: "Five pairs of digits, one after the other",
  about: `Which digit of a pair is it: 0 or 1, 2 or 3, and so on with the same two labels (\`data glyphs --labels place --stream
digits=01,23,45,67,89\`), 300 rows of 9 x 9 pixels a task; a vision transformer of one layer, three epochs of 20 rows a step for each task,
\`joint\` as many of all tasks mixed. Accuracy on 200 other rows of each task after the last one. Methods have the settings that they come
with; the rate was chosen on seed 1 for \`seq\`, \`er\` and \`joint\`. \`dst-cl\` alone knows which
task a row is of.`,
  bed: {
    stream: () => "glyphs --canvas 9 --shift 0 --noise 0.3 --labels place --stream digits=01,23,45,67,89 --size 300",
    config: {
      model_type: "vit",
      image_size: 9,
      patch_size: 3,
      num_channels: 1,
      hidden_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      intermediate_size: 32,
      num_labels: 2,
      initializer_range: 0.2,
    },
    line: "--epochs 3 --batch-size 20 --lr 5e-3",
    score: "accuracy",
  },
  bounds: { "joint beside seq: average": { above: 0 }, "joint beside er: average": { above: 0 } },
});
