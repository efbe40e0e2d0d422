/** In the place of `src/gpu/swiftshader.ts`: a page has the drivers that its browser has. */
export const useSwiftShader = (): boolean => false;
