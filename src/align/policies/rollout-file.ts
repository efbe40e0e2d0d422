/** The file of all answers of a run: JSON lines, rollout after rollout. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { UserError } from "../../errors.ts";
import type { RolloutLine } from "./held-rollout.ts";

export class RolloutFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  #attempt(write: () => void): void {
    try {
      write();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new UserError(`--rollouts: ${this.#path} cannot be written (${code})`, "choose another file");
    }
  }

  /** Begins the file, or drops what a run that was killed wrote after so many rollouts. Throws UserError. */
  begin(rollouts: number): void {
    const lines = rollouts > 0 && existsSync(this.#path) ? readFileSync(this.#path, "utf8").split("\n") : [];
    const kept = lines.filter((line) => {
      const number = /^\{"rollout":(\d+),/.exec(line)?.[1];
      return number !== undefined && Number(number) <= rollouts;
    });
    this.#attempt(() => writeFileSync(this.#path, kept.map((line) => `${line}\n`).join("")));
  }

  add(lines: readonly RolloutLine[]): void {
    this.#attempt(() => appendFileSync(this.#path, lines.map((line) => `${JSON.stringify(line)}\n`).join("")));
  }
}
