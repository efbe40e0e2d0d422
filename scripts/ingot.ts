#!/usr/bin/env bun
/**
 * Run any of ingot's scripts from anywhere: `ingot merge ...` does what `bun run merge ...` does inside the project.
 *
 *   ingot                    list the scripts
 *   ingot merge a/ b/ -o c/  run one
 */
import { launch } from "../src/cli/launch.ts";

await launch(import.meta.dir, process.argv.slice(2));
