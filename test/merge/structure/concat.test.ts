/** Classifiers side by side in one. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { entryOf } from "../../support/entry.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";
import { apart, checkpointOf, configOf, logitsOf, mergedBy, network } from "./networks.ts";

setDefaultTimeout(120_000); // the machine may be busy

const gpu = await sharedGpu();
const mlp = (hidden: readonly number[], more: Record<string, unknown> = {}) => ({
  ...{ model_type: "mlp", input_size: 7, hidden_sizes: hidden, num_labels: 3, ...more },
});
const nets = await Promise.all([
  network(gpu, mlp([6, 5]), 1),
  network(gpu, mlp([8, 3]), 2),
  network(gpu, mlp([4, 4]), 3),
]);

const joined = (models: readonly Checkpoint[]) => mergedBy(gpu, "concat", { models });

test("its logits are the mean of theirs", async () => {
  const { checkpoint } = await joined(nets);
  expect(configOf(checkpoint)).toMatchObject({ input_size: 7, hidden_sizes: [18, 12], num_labels: 3 });
  const each = await Promise.all(nets.map((net) => logitsOf(gpu, net)));
  const mean = each[0]!.map((_, i) => each.reduce((sum, logits) => sum + logits[i]! / nets.length, 0));
  expect(apart(await logitsOf(gpu, checkpoint), mean)).toBeLessThan(1e-5);
});

test("with the other networks' part of the head at zero it is one of them", async () => {
  const { checkpoint } = await joined(nets);
  // Features 5 to 7 of 12 are those of the second network.
  const [head, bias] = ["classifier.weight", "classifier.bias"].map((name) => nets[1]!.tensors.get(name)!);
  const own = new Float32Array(9);
  await head!.read(new Uint8Array(own.buffer), 0);
  const values = new Float32Array(36);
  for (let c = 0; c < 3; c++) for (let f = 0; f < 3; f++) values[c * 12 + 5 + f] = own[c * 3 + f]!;
  const tensors = [...checkpoint.tensors.values()].map((entry) =>
    entry.name === "classifier.weight"
      ? entryOf(entry.name, "F32", [3, 12], values)
      : entry.name === "classifier.bias"
        ? bias!
        : entry,
  );
  const probed = checkpointOf("probed", configOf(checkpoint) as never, tensors);
  expect(apart(await logitsOf(gpu, probed), await logitsOf(gpu, nets[1]!))).toBeLessThan(1e-6);
});

test("networks that cannot stand side by side are refused by name", async () => {
  const refused = async (...models: Checkpoint[]) =>
    joined(models).then(
      () => "joined",
      (error: Error) => error.message,
    );
  const [llama, other] = [await network(gpu, TINY_TEXT.llama!, 1), await network(gpu, TINY_TEXT.llama!, 2)];
  expect(await refused(llama, other)).toContain("m1 (llama) cannot stand beside others in one network: a norm");
  expect(await refused(nets[0]!, await network(gpu, mlp([6]), 4))).toContain("do not both have layers.1.weight");
  expect(await refused(nets[0]!, await network(gpu, mlp([6, 5], { num_labels: 2 }), 5))).toContain(
    "has 3 outputs in m1 but 2 in m5",
  );
  expect(await refused(nets[0]!, await network(gpu, mlp([6, 5], { input_size: 6 }), 6))).toContain(
    "has 7 inputs in m1 but 6 in m6",
  );
  expect(await refused(nets[0]!, await network(gpu, mlp([6, 5], { hidden_act: "gelu" }), 7))).toContain(
    "m1 has relu and m7 gelu",
  );
  expect(await refused(nets[0]!)).toContain("concat merges at least 2 models");
});
