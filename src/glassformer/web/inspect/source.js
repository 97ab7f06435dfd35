export const source = { id: "source", title: "Source", mount(root, app) {}, update(changed) {} };
