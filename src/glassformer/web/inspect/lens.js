export const lens = { id: "lens", title: "Logit lens", mount(root, app) {}, update(changed) {} };
