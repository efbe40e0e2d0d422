/** The file of the numbers of rows that a loss keeps: JSON lines of a row's place and its number. */
import { flagOf } from "../../method/options.ts";
import type { ChosenLoss } from "../../run/training/label-loss.ts";

/** A file that takes its name when it is whole. */
interface Target {
  write(text: string): void;
  commit(): void;
  discard(): void;
}

/**
 * Begins the file with what opens one for an option, so that a place which cannot be written is refused before any
 * step. Throws UserError.
 */
export function openNumbers(chosen: ChosenLoss | undefined, open: (file: string, flag: string) => Target) {
  const { loss, numbers } = chosen ?? {};
  const keeps = loss?.method.keeps?.(loss.values);
  if (!keeps || !numbers) return undefined;
  const { file, key, option } = keeps;
  const target = open(file, flagOf(option));
  target.write("");
  return {
    async save(): Promise<void> {
      for (const [place, value] of await numbers.numbers())
        target.write(`${JSON.stringify({ place, [key]: value })}\n`);
      target.commit();
    },
    discard: () => target.discard(),
  };
}
