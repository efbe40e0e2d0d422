/** Regular expressions that users write, checked before any work. */
import type { VerifierSetup } from "./contract.ts";

/** A regular expression whose dot takes line ends, too; refuses what is none. */
export function patternOf({ refuse }: Pick<VerifierSetup, "refuse">, source: string): RegExp {
  try {
    return new RegExp(source, "s");
  } catch (error) {
    return refuse((error as Error).message, "the expressions are those of JavaScript; shells want them in 'quotes'");
  }
}
