import { expect, test } from "bun:test";
import { toPng, toSvg } from "../../src/report/figure.ts";
import { runs } from "./logs.ts";

test("figures have a panel for every metric", async () => {
  const svg = await toSvg(runs, "tokens");
  expect(svg.match(/<svg/g)).toHaveLength(1 + 3);
  for (const name of ["loss", "eval loss (a)", "lr"]) expect(svg).toContain(name);
  const png = await toPng(svg);
  expect([...png.subarray(1, 4)]).toEqual([...Buffer.from("PNG")]);
});
