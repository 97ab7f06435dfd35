export const edits = { id: "edits", title: "Ablate and patch", mount(root, app) {}, update(changed) {} };
