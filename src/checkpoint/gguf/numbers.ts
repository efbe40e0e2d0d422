/** Numbers of GGUF metadata. */

/** A number of the metadata; counts that may differ between layers are arrays, taken when all are equal. */
export function numberOf(value: unknown): number | undefined {
  if (Array.isArray(value)) return new Set(value).size === 1 ? numberOf(value[0]) : undefined;
  const number = typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/**
 * Metadata holds f32; the shortest decimal that rounds to it is what the model's author wrote (1e-5, not
 * 9.99999974e-6).
 */
export function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === Math.fround(value)) return decimal;
  }
  return value;
}
