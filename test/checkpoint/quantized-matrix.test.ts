/** A matrix of codes gives its values by each of its three rules. */
import { describe, expect, test } from "bun:test";
import { groupsOf, matrixValues } from "../../src/checkpoint/quantized/matrix.ts";

const codes = Uint8Array.of(0, 1, 2, 3, 3, 0);
const shared = { rows: 2, columns: 3, group: 2, bits: 2, codes, scales: Float32Array.of(1, 10, 0.5, 2) };

describe("values of a matrix of codes", () => {
  test("integers lie about the middle, or about their zero points", () => {
    expect([...matrixValues(shared)]).toEqual([-2, -1, 0, 0.5, 0.5, -4]);
    expect([...matrixValues({ ...shared, zeros: Uint8Array.of(0, 1, 2, 3) })]).toEqual([0, 1, 10, 0.5, 0.5, -6]);
  });

  test("offsets are added after the product", () => {
    const offsets = Float32Array.of(1, 2, 3, 4);
    expect([...matrixValues({ ...shared, offsets })]).toEqual([1, 2, 22, 4.5, 4.5, 4]);
  });

  test("levels stand for codes", () => {
    const levels = Float32Array.of(-1, 0.25, 3, 7);
    expect([...matrixValues({ ...shared, levels })]).toEqual([-1, 0.25, 30, 3.5, 3.5, -2]);
  });

  test("columns in another order have the groups that are given", () => {
    expect([...matrixValues({ ...shared, groupOf: Int32Array.of(1, 0, 0) })]).toEqual([-20, -1, 0, 2, 0.5, -1]);
    expect(groupsOf(shared)).toBe(2);
  });

  test("parts that do not fit are refused", () => {
    expect(() => matrixValues({ ...shared, scales: Float32Array.of(1) })).toThrow(
      new RangeError("a quantized matrix has 1 scales; expected 4"),
    );
  });
});
