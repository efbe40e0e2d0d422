/**
 * The command line of a sweep as the frame of scripts reads it. `sweep train m/ --lr 1e-4..1e-2:log -- --data rows` has
 * options of another script, which become `--vary lr=1e-4..1e-2:log`, `--fixed --data` and `--fixed rows`.
 */
import { UserError } from "../errors.ts";
import { nameIn, type Options } from "../method/options.ts";

const isFlag = (word: string | undefined): boolean => word?.startsWith("--") === true && word !== "--";

/**
 * The words of the frame; `table` has the options of the sweep itself. Throws UserError for an option of the script
 * without values.
 */
export function sweepWords(argv: readonly string[], table: Options): string[] {
  const [own, fixed, measure] = parts(argv);
  const words: string[] = [];
  for (let i = 0; i < own.length; i++) {
    const word = own[i]!;
    const [flag = "", ...values] = word.split("=");
    const key = flag.slice(2).replaceAll("-", "_");
    const known = nameIn(table, key) ?? nameIn(table, key.replace(/^no_/, ""));
    if (!isFlag(word) || known !== undefined) {
      words.push(word);
      // A value that looks like a flag is none of the script's.
      if (isFlag(word) && known !== undefined && values.length === 0 && table[known]!.type !== "boolean") {
        const next = own[i + 1];
        if (next !== undefined) words.push(own[++i]!);
      }
      continue;
    }
    const value = values.length > 0 ? values.join("=") : own[++i];
    if (value === undefined || /^-+[a-z]/i.test(value) || value === "--")
      throw new UserError(
        `${flag} has no values to try`,
        `give some, as ${flag} a,b; what all trials have stands after --`,
      );
    words.push(`--vary=${key}=${value}`);
  }
  return [...words, ...fixed.map((word) => `--fixed=${word}`), ...measure.map((word) => `--measure=${word}`)];
}

/** What stands before the first `--`, between both, and after the second. */
function parts(argv: readonly string[]): [readonly string[], readonly string[], readonly string[]] {
  const first = argv.indexOf("--");
  if (first < 0) return [argv, [], []];
  const rest = argv.slice(first + 1);
  const second = rest.indexOf("--");
  if (second < 0) return [argv.slice(0, first), rest, []];
  return [argv.slice(0, first), rest.slice(0, second), rest.slice(second + 1)];
}
