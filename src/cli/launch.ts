/** What `ingot` does: it lists the scripts of a folder, or runs one of them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import pkg from "../../package.json";
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

/** Runs the script that the first argument names; without one it lists them. Sets exit code 2 for an unknown script. */
export async function launch(folder: string, [wanted, ...rest]: readonly string[]): Promise<void> {
  const scripts = scriptsIn(folder);
  const names = scripts.map(([name]) => name);
  if (wanted === undefined || wanted === "help" || wanted === "--help" || wanted === "-h") {
    const list = table(scripts.map(([name, about]) => [`  ${name}`, about]));
    const usage = "  ingot SCRIPT [options]";
    const more = "  ingot SCRIPT --help shows a script's options";
    writeAll(1, Buffer.from(`ingot ${pkg.version}: ${pkg.description}\n\n${usage}\n\n${list}\n\n${more}\n`));
  } else if (wanted === "--version") {
    writeAll(1, Buffer.from(`ingot ${pkg.version}\n`));
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
