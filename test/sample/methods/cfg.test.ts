/** Classifier-free guidance: its formula, and which prompt the second view reads. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { method } from "../../../src/sample/methods/cfg.ts";
import { normals } from "../../support/random.ts";
import { combineWith, ruleWith } from "./combine-with.ts";

const [OWN, OTHER] = [normals(1, 17), normals(2, 17)];
const combined = (scale: number) =>
  logProbabilities(combineWith(bindDefaults(method, { cfg_scale: scale }), 1)([OWN, OTHER]));

test("scale 1 is the model, 0 the other prompt, and context-aware decoding is 1 + alpha", () => {
  const alpha = 0.5;
  const cases: [number, Float32Array][] = [
    [1, OWN],
    [0, OTHER],
    [1 + alpha, OWN.map((x, id) => (1 + alpha) * x - alpha * OTHER[id]!)],
  ];
  for (const [scale, logits] of cases)
    for (const [id, x] of logProbabilities(logits).entries()) expect(combined(scale)[id]!).toBeCloseTo(x, 5);
});

test("the other prompt is the last token, a text, or what stands behind the context", () => {
  const seen = (values: Record<string, string>, prompt: readonly number[]) =>
    ruleWith(bindDefaults(method, values), 1).views[1]!.prompt!(prompt);
  expect(seen({}, [4, 5, 6])).toEqual([6]);
  expect(seen({ cfg_negative_prompt: "7 8" }, [4, 5, 6])).toEqual([7, 8]);
  expect(seen({ cfg_context_end: "5 " }, [4, 5, 6, 5, 9, 8])).toEqual([9, 8]);
  expect(() => seen({ cfg_context_end: "3 " }, [4, 5])).toThrow('--cfg-context-end "3 " is not in the prompt "4 5"');
  expect(() => seen({ cfg_context_end: "3", cfg_negative_prompt: "1" }, [4])).toThrow("both name the other prompt");
});
