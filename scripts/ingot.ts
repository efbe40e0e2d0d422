#!/usr/bin/env bun
/**
 * Run any of ingot's scripts from anywhere: `ingot merge ...` does what `bun run merge ...` does inside the project.
 *
 *   ingot                    list the scripts
 *   ingot merge a/ b/ -o c/  run one
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import pkg from "../package.json";
import { say, writeAll } from "../src/cli/stderr.ts";
import { nearest } from "../src/method/nearest.ts";
import { table } from "../src/text/table.ts";

/** The scripts beside this file, each with the first sentence of the comment that opens it. */
function scripts(): [name: string, about: string][] {
  return readdirSync(import.meta.dir)
    .filter((file) => file.endsWith(".ts") && file !== "ingot.ts")
    .sort()
    .map((file) => {
      const comment = /\/\*\*([\s\S]*?)\*\//.exec(readFileSync(join(import.meta.dir, file), "utf8"))?.[1] ?? "";
      const text = comment.replaceAll(/\s*\n\s*\*/g, " ").trim();
      return [file.slice(0, -3), /^.*?[.:](?=\s|$)/.exec(text)?.[0].replace(/:$/, ".") ?? text];
    });
}

const [wanted, ...rest] = process.argv.slice(2);

if (wanted === undefined || wanted === "help" || wanted === "--help" || wanted === "-h") {
  const list = table(scripts().map(([name, about]) => [`  ${name}`, about]));
  const text = `ingot ${pkg.version}: ${pkg.description}\n\n  ingot SCRIPT [options]\n\n${list}\n\n  ingot SCRIPT --help shows a script's options\n`;
  writeAll(1, Buffer.from(text));
} else if (wanted === "--version") {
  writeAll(1, Buffer.from(`ingot ${pkg.version}\n`));
} else if (scripts().some(([name]) => name === wanted)) {
  process.argv.splice(2, 1); // the script sees the arguments it would see if run directly
  await import(pathToFileURL(join(import.meta.dir, `${wanted}.ts`)).href);
} else {
  const names = scripts().map(([name]) => name);
  const near = nearest(wanted, names);
  const problem = wanted.startsWith("-") ? `expected a script but found ${wanted}` : `unknown script ${wanted}`;
  const hint = near ? `did you mean ingot ${[near, ...rest].join(" ")}?` : `the scripts are ${names.join(", ")}`;
  say(`ingot: ${problem}\n  hint: ${hint}`);
  process.exitCode = 2;
}
