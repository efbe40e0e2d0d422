import { expect, test } from "bun:test";
import { kept } from "../../../../src/evaluate/methods/attacks/quantize.ts";

test("Q falls where knowledge comes back, and only there", () => {
  expect(kept({ knowledge: "more" }, 0.2, 0.4)).toBe(0.5);
  expect(kept({ knowledge: "more" }, 0.4, 0.2)).toBe(1);
  expect(kept({ knowledge: "more" }, 0, 0)).toBe(1);
  expect(kept({ knowledge: "more" }, 0, 0.1)).toBe(0);
  expect(kept({ knowledge: "less" }, 1, 2)).toBeNaN();
});
