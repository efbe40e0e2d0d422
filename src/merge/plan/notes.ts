/** Warnings about tensors, gathered so that one cause gives one line however many tensors it concerns. */
export class Notes {
  private readonly names = new Map<string, string[]>();

  add(what: string, name: string): void {
    const names = this.names.get(what);
    if (names === undefined) this.names.set(what, [name]);
    else names.push(name);
  }

  /** `b/ lacks it and is left out: lm_head.weight and 2 more`, one line per cause in the order of first use. */
  lines(): string[] {
    return [...this.names].map(
      ([what, names]) => `${what}: ${names[0]}${names.length > 1 ? ` and ${names.length - 1} more` : ""}`,
    );
  }
}

/** `1 token`, `2 tokens` */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
