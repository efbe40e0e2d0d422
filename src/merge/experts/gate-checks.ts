/** Whether routers can tell experts apart: condition number of their rows, and the cosine of two of them. */
import { symmetricEigen } from "../../tensor/linear-algebra/symmetric-eigen.ts";
import type { Gates } from "./gates.ts";

/** What mergekit and this page call a poor matrix of rows. */
const MOST_CONDITION = 5;
const MOST_COSINE = 0.95;

/** Gram matrix of rows (E, C), in f64. */
function gram(rows: Float32Array, experts: number): Float64Array {
  const width = rows.length / experts;
  const products = new Float64Array(experts * experts);
  for (let a = 0; a < experts; a++)
    for (let b = 0; b <= a; b++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += rows[a * width + i]! * rows[b * width + i]!;
      products[a * experts + b] = sum;
      products[b * experts + a] = sum;
    }
  return products;
}

export interface GateFinding {
  readonly layer: number;
  /** Largest by smallest singular value of the rows; infinite where they depend on one another. */
  readonly condition: number;
  /** The two rows that are most alike. */
  readonly alike: { readonly a: number; readonly b: number; readonly cosine: number } | undefined;
}

/** Measures the rows of every layer. */
export function measureGates(gates: Gates, experts: number): GateFinding[] {
  return gates.map((rows, layer) => {
    const products = gram(rows, experts);
    const values = [...symmetricEigen(products, experts).values].sort((a, b) => a - b);
    const [least, most] = [values[0]!, values.at(-1)!];
    const condition = least > most * 1e-12 ? Math.sqrt(most / least) : Number.POSITIVE_INFINITY;
    let alike: GateFinding["alike"];
    for (let a = 0; a < experts; a++)
      for (let b = a + 1; b < experts; b++) {
        const norm = Math.sqrt(products[a * experts + a]! * products[b * experts + b]!);
        const cosine = norm > 0 ? products[a * experts + b]! / norm : 1;
        if (cosine > (alike?.cosine ?? -2)) alike = { a, b, cosine };
      }
    return { layer, condition, alike };
  });
}

/** One warning per kind, about the worst layer. */
export function gateWarnings(findings: readonly GateFinding[], names: readonly string[]): string[] {
  const warnings: string[] = [];
  const poor = findings.filter(({ condition }) => condition > MOST_CONDITION);
  if (poor.length > 0) {
    const worst = poor.reduce((a, b) => (b.condition > a.condition ? b : a));
    const number = Number.isFinite(worst.condition) ? worst.condition.toPrecision(3) : "infinite";
    warnings.push(
      `the rows of routers have a condition number above ${MOST_CONDITION} in ${poor.length} of ${findings.length} layers (${number} in layer ${worst.layer}): prompts are too much alike, or train the router after this`,
    );
  }
  const same = findings.filter(({ alike }) => alike && alike.cosine > MOST_COSINE);
  if (same.length > 0) {
    const worst = same.reduce((a, b) => (b.alike!.cosine > a.alike!.cosine ? b : a));
    const { a, b, cosine } = worst.alike!;
    warnings.push(
      `rows of ${names[a]} and ${names[b]} have a cosine of ${cosine.toFixed(4)} in layer ${worst.layer} (above ${MOST_COSINE} in ${same.length} of ${findings.length} layers): the router sends the same tokens to both`,
    );
  }
  return warnings;
}
