/** Modules of Node that a page has nothing for: sources import them, and the page calls nothing of them. */

const absent = (): never => {
  throw new Error("the page has no operating system");
};

export { absent as fileURLToPath, absent as homedir, absent as isatty, absent as pathToFileURL, absent as tmpdir };

export default { homedir: absent, isatty: absent, tmpdir: absent };
