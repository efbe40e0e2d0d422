/** Which weights are of hidden layers, and which are by heads. */
import { expect, test } from "bun:test";
import { markHidden } from "../../src/model/hidden.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = await sharedGpu();

test("queries and keys are by heads, where rows are of whole ones", () => {
  const init = { std: 1 };
  const specs = [
    ["embed.weight", [9, 8], false],
    ["layers.0.self_attn.q_proj.weight", [8, 8], true],
    ["layers.0.self_attn.k_proj.weight", [4, 8], true],
    ["layers.0.self_attn.v_proj.weight", [4, 8], true],
    ["layers.1.attention.query.weight", [6, 8], true],
    ["lm_head.weight", [9, 8], true],
  ].map(
    ([name, shape, linear]) =>
      ({ name, shape, linear, init }) as { name: string; shape: number[]; linear: boolean; init: typeof init },
  );
  const parameters = new Map(specs.map(({ name, shape }) => [name, new Parameter(gpu, name, shape)]));
  markHidden({}, { heads: 4, kvHeads: 2, headDim: 2 }, specs, parameters);
  expect([...parameters.values()].map(({ isHidden, heads }) => [isHidden, heads])).toEqual([
    [false, undefined],
    [true, 4],
    [true, 2],
    [true, undefined],
    [true, undefined], // 6 rows are not of 4 heads
    [false, undefined],
  ]);
  for (const parameter of parameters.values()) parameter.free();
});
