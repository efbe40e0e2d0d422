/** What is in its buffer only while a program uses it: weights on the disk, experts of a bounded cache. */

/** Runs programs one after the other that would take each other's weights away. */
export interface Turns {
  inTurn<T>(run: () => Promise<T>): Promise<T>;
  /** Hears all that a program is going to ask for, in order, before it runs. */
  begin?(asked: readonly Lent[]): void;
}

export interface Lent {
  readonly buffer: GPUBuffer;
  readonly turns: Turns;
  /** What it shares its buffer with: those of one place are not there at once. */
  readonly place: object;
  /**
   * Brings it into the buffer; not its values where they are about to be overwritten. Resolves to whether anything came
   * from the host.
   */
  fetch(overwritten: boolean): Promise<boolean>;
  /** Hears that a program has changed what is in the buffer. */
  wrote(): void;
  /** Hears how many rows a step multiplies it by, before it is fetched; with none it is not. */
  heard?(rows: number): void;
  /** Hears that a step that asks for it is over, whether it was fetched or not. */
  passed?(): void;
  /** Sets all values to 0, without a fetch. */
  clear?(): void;
}
