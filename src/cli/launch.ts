/** What `ingot` does: it lists the scripts of a folder, or runs one of them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import pkg from "../../package.json";
import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import { table } from "../text/table.ts";
import { say, writeAll } from "./stderr.ts";

/** The scripts of a folder, each with the first sentence of the comment that opens it. */
function scriptsIn(folder: string): [name: string, about: string][] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".ts") && file !== "ingot.ts")
    .sort()
    .map((file) => {
      const comment = /\/\*\*([\s\S]*?)\*\//.exec(readFileSync(join(folder, file), "utf8"))?.[1] ?? "";
      const text = comment.replaceAll(/\s*\n\s*\*\s*/g, " ").trim();
      return [file.slice(0, -3), /^.*?[.:](?=\s|$)/.exec(text)?.[0].replace(/:$/, ".") ?? text];
    });
}

/** What the launcher does by itself, besides scripts. */
export const OWN = ["completions", "man"] as const;
type Own = (typeof OWN)[number];
const isOwn = (wanted: string): wanted is Own => OWN.some((name) => name === wanted);

/**
 * Prints completions for a shell, or the manual page of a script. Sets exit code 2 for one that is not there, and for
 * more than one.
 */
async function printWords(what: Own, asked: readonly string[], scripts: readonly string[]): Promise<void> {
  const [{ explain }, { checkShell, completions }, { framedScripts }] = await Promise.all([
    import("./explain.ts"),
    import("./completions.ts"),
    import("./definitions.ts"),
  ]);
  try {
    const framed = framedScripts();
    const [name, more] = asked;
    if (more !== undefined)
      throw new UserError(`${what} takes one name, and ${more} is another`, "ask for one at a time");
    if (what === "completions") {
      const shell = checkShell(name);
      const others = scripts.filter((script) => !framed.includes(script));
      const { typedWords } = await import("./words.ts");
      return writeAll(1, Buffer.from(completions(shell, await typedWords(), others)));
    }
    if (name === undefined) throw new UserError("man takes the name of a script", `there are ${framed.join(", ")}`);
    if (scripts.includes(name) && !framed.includes(name))
      throw new UserError(`${name} has no manual page`, `its help says all: ingot ${name} --help`);
    const { manualPage } = await import("./manual.ts");
    writeAll(1, Buffer.from(await manualPage(name, pkg.version)));
  } catch (error) {
    process.exitCode = explain("ingot", error);
  }
}

/** Runs the script that the first argument names; without one it lists them. Sets exit code 2 for an unknown script. */
export async function launch(folder: string, [wanted, ...rest]: readonly string[]): Promise<void> {
  const scripts = scriptsIn(folder);
  const names = scripts.map(([name]) => name);
  if (wanted === undefined || wanted === "help" || wanted === "--help" || wanted === "-h") {
    const list = table(scripts.map(([name, about]) => [`  ${name}`, about]));
    const usage = "  ingot SCRIPT [options]";
    const more = table([
      ["  ingot SCRIPT --help", "a script's options"],
      ["  ingot man SCRIPT", "the same as a manual page: ingot man merge | man -l -"],
      ["  ingot completions SHELL", "completions for bash, zsh or fish"],
    ]);
    writeAll(1, Buffer.from(`ingot ${pkg.version}: ${pkg.description}\n\n${usage}\n\n${list}\n\n${more}\n`));
  } else if (wanted === "--version") {
    writeAll(1, Buffer.from(`ingot ${pkg.version}\n`));
  } else if (isOwn(wanted)) {
    await printWords(wanted, rest, names);
  } else if (names.includes(wanted)) {
    process.argv.splice(2, 1); // the script sees the arguments that it would see if run directly
    await import(pathToFileURL(join(folder, `${wanted}.ts`)).href);
  } else {
    const near = nearest(wanted, names);
    const problem = wanted.startsWith("-") ? `expected a script but found ${wanted}` : `unknown script ${wanted}`;
    const hint = near ? `did you mean ingot ${[near, ...rest].join(" ")}?` : `the scripts are ${names.join(", ")}`;
    say(`ingot: ${problem}\n  hint: ${hint}`);
    process.exitCode = 2;
  }
}
