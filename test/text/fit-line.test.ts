import { expect, test } from "bun:test";
import { fitLine } from "../../src/text/fit-line.ts";

const HEADS = ["train: 45%  9/20 steps  0:12 left", "45%  9/20 steps  0:12 left", "45%"];
const at = (width: number) => fitLine(HEADS, { figure: "loss 1.2345", text: "a 1.1, b 1.3, 9 tokens/s", width });

test("the narrower the terminal, the less there is beside the figure", () => {
  expect(at(80)).toBe("train: 45%  9/20 steps  0:12 left  loss 1.2345  a 1.1, b 1.3, 9 tokens/s");
  expect(at(61)).toBe("train: 45%  9/20 steps  0:12 left  loss 1.2345  a 1.1, …");
  expect(at(46)).toBe("train: 45%  9/20 steps  0:12 left  loss 1.2345");
  expect(at(40)).toBe("45%  9/20 steps  0:12 left  loss 1.2345");
  expect(at(16)).toBe("45%  loss 1.2345");
  expect(at(12)).toBe("loss 1.2345");
  for (let width = 11; width < 100; width++) {
    expect(at(width)).toContain("loss 1.2345");
    expect(Bun.stringWidth(at(width))).toBeLessThanOrEqual(width);
  }
});

test("without a figure the numbers stay longer than what is being worked on", () => {
  const named = (width: number) => fitLine(HEADS, { text: "model.layers.0.名前", width });
  expect(named(90)).toEndWith("left  model.layers.0.名前");
  expect(named(43)).toBe("train: 45%  9/20 steps  0:12 left  model.l…");
  expect(named(30)).toBe("45%  9/20 steps  0:12 left  m…");
  for (let width = 3; width < 70; width++) expect(Bun.stringWidth(named(width))).toBeLessThanOrEqual(width);
});
