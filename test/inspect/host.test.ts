import { expect, test } from "bun:test";
import { differingElements, hostValues } from "../../src/inspect/host.ts";

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

test("floats of 4 and 6 bits lie densely, and FNUZ has one NaN where others have -0", () => {
  // Codes 1, 2, 7 and 15 of F4; then the largest numbers of both forms of 6 bits, hand-worked from the OCP tables.
  expect(Array.from(hostValues(Uint8Array.of(0x21, 0xf7), "F4"))).toEqual([0.5, 1, 6, -6]);
  const six = (...codes: number[]) => {
    const word = codes.reduce((sum, code, i) => sum + code * 64 ** i, 0);
    return Uint8Array.of(word & 255, (word >> 8) & 255, word >> 16);
  };
  expect(Array.from(hostValues(six(1, 31, 32 + 8, 9), "F6_E2M3"))).toEqual([0.125, 7.5, -1, 1.125]);
  expect(Array.from(hostValues(six(1, 31, 32 + 12, 13), "F6_E3M2"))).toEqual([0.0625, 28, -1, 1.25]);
  expect(Array.from(hostValues(Uint8Array.of(0x7f, 0x80, 0x40, 1), "F8_E4M3FNUZ"))).toEqual([
    240,
    Number.NaN,
    1,
    2 ** -10,
  ]);
  expect(Array.from(hostValues(Uint8Array.of(0x7f, 0x80, 0x40, 1), "F8_E5M2FNUZ"))).toEqual([
    57344,
    Number.NaN,
    1,
    2 ** -17,
  ]);
  expect(differingElements(six(1, 2, 3, 4), six(1, 5, 3, 6), "F6_E3M2")).toBe(2);
  expect(differingElements(Uint8Array.of(0x21), Uint8Array.of(0x23), "F4")).toBe(1);
});
