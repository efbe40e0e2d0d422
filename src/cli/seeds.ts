/** Several seeds at once: a script makes one result, and a shell repeats it. */
import { UserError } from "../errors.ts";
import { quote } from "../text/quote.ts";
import type { AnyDefinition } from "./context.ts";
import { keyOf, peekAll } from "./parse.ts";

/** The words of a command without a flag and its value. */
function without(argv: readonly string[], flags: readonly string[]): string[] {
  const left: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const [flag = ""] = argv[i]!.split("=", 1);
    if (!argv[i]!.startsWith("-") || !flags.includes(keyOf(flag))) left.push(argv[i]!);
    else if (!argv[i]!.includes("=")) i++;
  }
  return left;
}

/** `out/` to `out-$seed/`, in quotes for a shell. */
function placed(out: string): string {
  const [, stem, ending] = /^(.*?)(\.[a-z]+|\/*)$/is.exec(out)!;
  return `${quote(stem!)}-$seed${ending}`;
}

/**
 * Throws UserError for `--seed 0,1,2` with a loop that runs the command once for each. Two results of one name would
 * replace each other, so each has its seed in its name.
 */
export function refuseSeveralSeeds(argv: readonly string[], { name }: AnyDefinition): void {
  const seeds = peekAll(argv, "--seed").flatMap((text) => text.split(/[\s,]+/));
  if (seeds.length < 2 || !seeds.every((seed) => /^\d+$/.test(seed))) return;
  const out = peekAll(argv, "--out").at(-1) ?? argv[argv.indexOf("-o") + 1];
  const given = argv.includes("-o") || peekAll(argv, "--out").length > 0;
  const command = [
    ...`bun run ${name}`.split(" "),
    ...without(argv, ["seed", "out", "o"]).map(quote),
    "--seed $seed",
    ...(given && out !== undefined && out !== "-" ? [`-o ${placed(out)}`] : []),
  ];
  throw new UserError(
    `--seed: expected one seed but found ${seeds.join(", ")}`,
    `run it once for each: for seed in ${seeds.join(" ")}; do ${command.join(" ")}; done`,
  );
}
