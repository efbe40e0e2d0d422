/** Random numbers that a seed and a name choose, so that they do not depend on the order in which they are drawn. */
import { createHash } from "node:crypto";
import { xoshiro } from "./xoshiro.ts";

/** An endless stream of numbers in [0, 1), chosen by a seed and a name. */
export function keyedUnits(seed: number, name: string): () => number {
  const digest = createHash("sha256").update(`${seed}\0${name}`).digest();
  const word = xoshiro(new Uint32Array(4).map((_, i) => digest.readUInt32LE(4 * i)));
  return () => word() / 2 ** 32;
}

/** Normal values of standard deviation `std`. */
export function keyedNormals(count: number, std: number, seed: number, name: string): Float32Array {
  const unit = keyedUnits(seed, name);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = std * Math.sqrt(-2 * Math.log(1 - unit()));
    const angle = 2 * Math.PI * unit();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}
