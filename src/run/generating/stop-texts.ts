/** Texts that end an answer, and are not part of it. */
import { UserError } from "../../errors.ts";

/** Throws UserError for a text that every answer begins with. */
export function checkStops(stops: readonly string[] | undefined): void {
  if (stops?.includes(""))
    throw new UserError("--stop is empty, so every answer would end before it begins", "is a shell variable unset?");
}

/** Where the first of the stop texts begins, or undefined. */
export function stopIn(text: string, stops: readonly string[]): number | undefined {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return found.length === 0 ? undefined : Math.min(...found);
}

/**
 * The text before the first of the stop texts.
 *
 *   cutAtStop("4\n\nQ: next", ["\n\n"]); // "4"
 */
export const cutAtStop = (text: string, stops: readonly string[]): string => text.slice(0, stopIn(text, stops));
