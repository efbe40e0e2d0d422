/**
 * Classifiers that are differentiable twice: their logits are the GPU's, their second gradients those of differences.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { freshWeights, networkOf, trainable } from "../../src/run/twice/network.ts";
import { add, crossEntropy, mul, oneHot, sum } from "../../src/tensor/twice/ops.ts";
import { constant, gradients, type Value, variable } from "../../src/tensor/twice/value.ts";
import { sharedGpu } from "../support/gpu.ts";
import { logitsOf } from "../support/logits.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(60_000);

const LAYERS = [
  { type: "conv", channels: 4, kernel_size: 3 },
  { type: "max_pool", kernel_size: 3, stride: 2, padding: 1 },
  { type: "conv", channels: 6, kernel_size: 3, stride: 2, groups: 2 },
  { type: "average_pool", kernel_size: 2, stride: 1 },
];
const CONVNET = { model_type: "convnet", num_channels: 2, image_size: 7, num_labels: 3, layers: LAYERS };
const MLP = { model_type: "mlp", input_size: 98, hidden_sizes: [7, 5], num_labels: 3 };
const NETS: Readonly<Record<string, Json>> = {
  mlp: MLP,
  "mlp, normed gelu": { ...MLP, hidden_act: "gelu", hidden_norm: "batch" },
  "mlp, sigmoid": { ...MLP, hidden_act: "sigmoid" },
  convnet: CONVNET,
  "convnet, normed and flattened": { ...CONVNET, hidden_norm: "batch", head_pooling: "flatten" },
};
const ROWS = 3;
const LABELS = [2, 0, 1];
const rows = Float64Array.from(normals(4, ROWS * 98));

const opened = async (json: Json) => networkOf(await describeConfig(json, "net"), "net", "this test");

for (const [name, json] of Object.entries(NETS)) {
  test(`${name}: logits are those of the model on the GPU`, async () => {
    const [gpu, net] = [await sharedGpu(), await opened(json)];
    const model = await Model.fresh(gpu, json, "net", { seed: 5 });
    const examples = LABELS.map((label, i) => ({
      ...{ x: Float32Array.from(rows.subarray(i * 98, (i + 1) * 98)), shape: net.image ? [2, 7, 7] : [98] },
      ...{ label, group: 0, place: `row ${i}` },
    }));
    const found = await logitsOf(gpu, model, stackExamples(examples));
    const wanted = net.logits(freshWeights(net, 5), constant(rows, [ROWS, 98]));
    for (const [i, logit] of wanted.data.entries()) expect(found[i]!).toBeCloseTo(logit, 4);
    model.free();
  });

  test(`${name}: the slope of a training step by its rows is that of differences`, async () => {
    const net = await opened(json);
    const first = freshWeights(net, 5);
    const names = trainable(net).map((spec) => spec.name);
    const along = new Map(names.map((each, i) => [each, normals(i, first.get(each)!.data.length)]));
    // What the gradient of the weights is along a direction, as a function of the rows.
    const measured = (x: Value): Value => {
      const weights = new Map([
        ...first,
        ...names.map((each) => [each, variable(first.get(each)!.data, first.get(each)!.shape)] as const),
      ]);
      const loss = crossEntropy(net.logits(weights, x, { norms: "batch" }), oneHot(LABELS, 3));
      const found = gradients(
        loss,
        names.map((each) => weights.get(each)!),
      );
      const parts = found.map((g, i) => sum(mul(g, constant(along.get(names[i]!)!, g.shape))));
      return parts.reduce(add);
    };
    const x = variable(rows, [ROWS, 98]);
    const [slope] = gradients(measured(x), [x], { once: true });
    for (const i of [0, 17, 60, 101, 230, 293]) {
      const moved = (by: number) =>
        measured(
          constant(
            rows.map((v, j) => (j === i ? v + by : v)),
            [ROWS, 98],
          ),
        ).data[0]!;
      const wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      expect(Math.abs(slope!.data[i]! - wanted)).toBeLessThan(1e-6 * Math.max(1, Math.abs(wanted)));
    }
  });
}
