/** From a file of stages to commands: values and results of earlier stages put in, each stage with its own folder. */
import { existsSync } from "node:fs";
import { join, resolve, sep } from "node:path";
import { UserError } from "../../errors.ts";
import { didYouMean } from "../../method/nearest.ts";
import type { StageFile, WrittenStage } from "./stage-file.ts";

/** What a script makes of its arguments. */
export interface Understood {
  readonly args: readonly string[];
  /** Values of all options; absent for those that the script does not have. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly output: "checkpoint" | "text" | "none";
  /** References that it reads, as they were typed; `-` is stdin. */
  readonly inputs: readonly string[];
}

/** Throws the UserError that the script would throw before any work. */
export type Understand = (script: string, argv: readonly string[]) => Promise<Understood>;

export interface PlannedStage {
  readonly name: string;
  readonly title: string | undefined;
  readonly by: WrittenStage["by"];
  /** Script or program, and its arguments as they stand in the file with values put in. */
  readonly words: readonly string[];
  readonly folder: string;
  /** What it writes, within its folder. */
  readonly makes: string;
  /** The script writes to its stdout, which is led to that file. */
  readonly isPrinted: boolean;
  /** Files and folders on the disk that it reads. */
  readonly reads: readonly string[];
  /** Earlier stages that it reads from. */
  readonly after: readonly string[];
  /** Of a script: its options. */
  readonly understood: Understood | undefined;
}

/** Puts values in the place of their names. Throws UserError for a name that stands for nothing. */
export function substituted(
  word: string,
  values: ReadonlyMap<string, string>,
  where: string,
  later: readonly string[],
): string {
  return word.replace(/\$\$\{|\$\{([^}]*)\}/g, (_, name: string | undefined) => {
    if (name === undefined) return "${";
    const value = values.get(name);
    if (value !== undefined) return value;
    if (later.includes(name))
      throw new UserError(`${where} reads \${${name}}, which no earlier stage writes`, `move stage ${name} before it`);
    throw new UserError(
      `${where}: \${${name}} stands for nothing`,
      didYouMean(name, values.keys()) ?? `the names are ${[...values.keys()].join(", ")}`,
    );
  });
}

/** Whether a reference lies elsewhere than on the disk, or names many files. */
const isElsewhere = (text: string): boolean => text.startsWith("hf:") || text.includes("://") || /[*?[]/.test(text);

/** Files that a reference names: `name=path`, `base+adapter`, `path@revision`. Undefined where one is not there. */
function filesOf(reference: string, isThere: (file: string) => boolean): string[] | undefined {
  if (isThere(reference)) return [reference];
  const named = reference.slice(reference.indexOf("=") + 1);
  if (isThere(named)) return [named];
  const parts = named.split("+").map((part) => (isThere(part) ? part : part.replace(/@[^/]*$/, "")));
  return parts.every(isThere) ? parts : undefined;
}

const bare = (file: string): string => file.replace(/(?<=.)\/+$/, "");

export interface Planning {
  readonly file: StageFile;
  /** Folder of all stages. */
  readonly to: string;
  /** Values given beside the file, instead of its own. */
  readonly values: Readonly<Record<string, string>>;
  readonly understand: Understand;
}

/** The stages in their order. Throws UserError that begins with the stage for the first thing that is wrong. */
export async function planStages({ file, to, values: given, understand }: Planning): Promise<PlannedStage[]> {
  const odd = Object.keys(given).find((name) => !Object.hasOwn(file.values, name));
  if (odd !== undefined)
    throw new UserError(
      `--value ${odd}: the file has no value of that name`,
      didYouMean(odd, Object.keys(file.values)) ?? `its values are ${Object.keys(file.values).join(", ") || "none"}`,
    );
  const values = new Map(Object.entries({ ...file.values, ...given, to }));
  const planned: PlannedStage[] = [];
  for (const [i, stage] of file.stages.entries()) {
    const later = file.stages.slice(i).map(({ name }) => name);
    const where = `stage ${stage.name}`;
    const words = stage.words.map((word) => substituted(word, values, where, later));
    const next = await planStage({ stage, words, to, earlier: planned, later, understand });
    planned.push(next);
    values.set(stage.name, join(next.folder, next.makes));
  }
  return planned;
}

interface OneStage {
  readonly stage: WrittenStage;
  readonly words: readonly string[];
  readonly to: string;
  readonly earlier: readonly PlannedStage[];
  /** Names of this stage and of those after it. */
  readonly later: readonly string[];
  readonly understand: Understand;
}

async function planStage({ stage, words, to, earlier, later, understand }: OneStage): Promise<PlannedStage> {
  const { name, title, by } = stage;
  const folder = join(to, name);
  const made = new Map(earlier.map((each) => [bare(join(each.folder, each.makes)), each.name]));
  const makerOf = (file: string) => [...made].find(([place]) => file === place || file.startsWith(`${place}/`))?.[1];
  const isLater = (path: string) =>
    later.some((other) => `${resolve(path)}${sep}`.startsWith(`${resolve(to, other)}${sep}`));
  const isThere = (path: string) =>
    path !== "" && (makerOf(bare(path)) !== undefined || (existsSync(path) && !isLater(path)));
  const common = { name, title, by, words, folder };
  if (by === "program") {
    const [program = ""] = words;
    if (Bun.which(program) === null) throw new UserError(`stage ${name}: there is no program ${program}`);
    const reads = words.slice(1).filter(isThere);
    const after = reads.flatMap((file) => makerOf(bare(file)) ?? []);
    return { ...common, makes: stage.makes!, isPrinted: true, reads, after, understood: undefined };
  }
  const [script = "", ...argv] = words;
  const own = argv.find((word) => /^(-o|--out|--dry-run|-n)(=|$)/.test(word));
  if (own !== undefined)
    throw new UserError(
      `stage ${name} has ${own}, but a stage writes to its own folder`,
      `leave it out; later stages name the result \${${name}}, and makes: says what it is called`,
    );
  const understood = await understand(script, argv).catch((error) => {
    throw error instanceof UserError ? new UserError(`stage ${name}: ${error.message}`, error.hint) : error;
  });
  const reads: string[] = [];
  for (const input of understood.inputs) {
    if (input === "-") throw new UserError(`stage ${name} reads stdin`, "name a file, or an earlier stage");
    if (isElsewhere(input)) continue;
    const files = filesOf(input, isThere);
    if (!files)
      throw new UserError(
        `stage ${name} reads ${input}, which is not there and which no earlier stage writes`,
        `an earlier stage's result is named \${NAME}`,
      );
    reads.push(...files);
  }
  const { output, values } = understood;
  const makes =
    stage.makes ?? (output === "checkpoint" ? "model" : values.json === true ? "result.json" : "result.txt");
  return {
    ...common,
    makes,
    isPrinted: output === "none" && stage.makes === undefined,
    reads,
    after: [...new Set(reads.flatMap((file) => makerOf(bare(file)) ?? []))],
    understood,
  };
}
