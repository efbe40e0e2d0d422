import { expect, test } from "bun:test";
import { hostValues } from "../../src/inspect/host.ts";

test("scales of blocks are powers of two, and complex numbers count by their length", () => {
  expect(Array.from(hostValues(Uint8Array.of(127, 128, 0, 254, 255), "F8_E8M0"))).toEqual([
    1,
    2,
    2 ** -127,
    2 ** 127,
    Number.NaN,
  ]);
  expect(Array.from(hostValues(new Uint8Array(Float32Array.of(3, 4, 0, -2).buffer), "C64"))).toEqual([5, 2]);
});
