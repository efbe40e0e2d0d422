#!/usr/bin/env bun
/**
 * Build the page that merges safetensors files in a browser.
 *
 *   bun run web             writes dist/web/index.html
 *   bun run web -o site/
 */
import { buildPage } from "../src/web/command.ts";

process.exitCode = await buildPage(process.argv.slice(2));
