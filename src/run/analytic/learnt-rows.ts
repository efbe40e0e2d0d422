/** Which rows a fit holds: a digest of each with its label, so that no row is taken out that is not in it. */
import type { Example } from "../../data/examples.ts";
import { DIGEST, rowDigest } from "../../data/row-digest.ts";
import { UserError } from "../../errors.ts";

/** Rows by digest, each as often as it was learnt. */
export class LearntRows {
  readonly #rows = new Map<string, { count: number; readonly label: number }>();

  /** Of digests, one after the other, with their labels. */
  static from(digests: Uint8Array, labels: Int32Array): LearntRows {
    const rows = new LearntRows();
    for (const [i, label] of labels.entries())
      rows.#add(Buffer.from(digests.subarray(i * DIGEST, (i + 1) * DIGEST)).toString("hex"), label);
    return rows;
  }

  #add(digest: string, label: number): void {
    const found = this.#rows.get(digest);
    if (found) found.count++;
    else this.#rows.set(digest, { count: 1, label });
  }

  get size(): number {
    return [...this.#rows.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** Rows of a class. */
  of(label: number): number {
    return [...this.#rows.values()].reduce((sum, row) => sum + (row.label === label ? row.count : 0), 0);
  }

  add(examples: readonly Example[]): void {
    for (const example of examples) this.#add(rowDigest(example), example.label);
  }

  /** Throws UserError for a row that is not among them, or not so often. */
  remove(examples: readonly Example[]): void {
    for (const example of examples) {
      const digest = rowDigest(example);
      const found = this.#rows.get(digest);
      if (!found)
        throw new UserError(
          `${example.place}: the head never learnt this row with label ${example.label}, or it is taken out already`,
          "name rows as they were given to train analytic, each as often as it was learnt",
        );
      if (--found.count === 0) this.#rows.delete(digest);
    }
  }

  /** Digests in ascending order, so that the order of requests leaves no trace, and the labels beside them. */
  stored(): { readonly digests: Uint8Array; readonly labels: Int32Array } {
    const sorted = [...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1));
    const all = sorted.flatMap(([digest, { count, label }]) =>
      Array.from({ length: count }, () => [digest, label] as const),
    );
    return {
      digests: new Uint8Array(Buffer.from(all.map(([digest]) => digest).join(""), "hex")),
      labels: Int32Array.from(all, ([, label]) => label),
    };
  }
}
