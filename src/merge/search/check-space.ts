/** What no search of merges can run in. */
import { UserError } from "../../errors.ts";
import type { Space } from "../../run/searching/space.ts";

/** Throws UserError for a space that no search can run in: without genes, empty ranges, two genes of one name. */
export function checkSpace(space: Space): void {
  if (space.length === 0)
    throw new UserError("the search has nothing to vary", "name parameters with --search-space weight=0:1");
  const names = new Set<string>();
  for (const gene of space) {
    const { name } = gene;
    if (names.has(name)) throw new UserError(`--search-space: ${name} varies twice`, "give it one range");
    names.add(name);
    if (gene.kind === "choice") continue;
    if (!(gene.low <= gene.high))
      throw new UserError(
        `--search-space: ${name} goes from ${gene.low} to ${gene.high}`,
        "give the smaller number first: 0:1",
      );
    if (gene.kind === "real" && gene.log && !(gene.low > 0))
      throw new UserError(
        `--search-space: ${name} is spread over a logarithm and begins at ${gene.low}`,
        "begin above 0",
      );
  }
}
