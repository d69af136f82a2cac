//! Ordered trees of slots, for what an object finds by name or by time.
//!
//! A treap: ordered by key, a heap by a priority that is drawn from the index. The links lie in the records
//! themselves, so that nothing is ever allocated and depth is logarithmic whatever the keys. Guarded by the object's
//! lock.

use super::cell::Cell32;

/// What a tree needs of its nodes. Nodes are indices of records that never move.
pub trait Nodes {
    /// What they are ordered by; no two nodes have the same.
    type Key: Ord;
    /// The key of a node.
    fn key(&self, node: u32) -> Self::Key;
    /// The links to the nodes with smaller and with greater keys.
    fn links(&self, node: u32) -> (&'static Cell32, &'static Cell32);
}

/// A tree by its root.
pub struct Tree<'a, N> {
    /// Index of the root, or 0.
    pub root: &'static Cell32,
    /// Where the nodes are.
    pub nodes: &'a N,
}

/// A number that has nothing to do with the order of indices.
fn priority(node: u32) -> u32 {
    let mixed = node.wrapping_mul(0x9E37_79B1);
    (mixed ^ mixed >> 15).wrapping_mul(0x85EB_CA6B)
}

impl<N: Nodes> Tree<'_, N> {
    /// The node of a key.
    pub fn find(&self, key: &N::Key) -> Option<u32> {
        let node = self.place(key).get();
        (node != 0).then_some(node)
    }

    /// The node with the smallest key.
    pub fn first(&self) -> Option<u32> {
        let mut node = self.root.get();
        while node != 0 {
            let (smaller, _) = self.nodes.links(node);
            if smaller.get() == 0 {
                return Some(node);
            }
            node = smaller.get();
        }
        None
    }

    /// Puts a node in.
    pub fn insert(&self, node: u32) {
        let key = self.nodes.key(node);
        let mut link = self.root;
        while link.get() != 0 && priority(link.get()) >= priority(node) {
            let (smaller, greater) = self.nodes.links(link.get());
            link = if key < self.nodes.key(link.get()) { smaller } else { greater };
        }
        let below = link.replace(node);
        self.split(below, &key, self.nodes.links(node));
    }

    /// Takes a node out.
    pub fn remove(&self, node: u32) {
        let link = self.place(&self.nodes.key(node));
        if link.get() == node {
            let (smaller, greater) = self.nodes.links(node);
            self.join(link, smaller.replace(0), greater.replace(0));
        }
    }

    /// The link that leads to a key, or where it would be.
    fn place(&self, key: &N::Key) -> &'static Cell32 {
        let mut link = self.root;
        while link.get() != 0 {
            let (smaller, greater) = self.nodes.links(link.get());
            link = match key.cmp(&self.nodes.key(link.get())) {
                core::cmp::Ordering::Less => smaller,
                core::cmp::Ordering::Greater => greater,
                core::cmp::Ordering::Equal => return link,
            };
        }
        link
    }

    /// Parts a subtree into keys below and above.
    fn split(&self, mut node: u32, key: &N::Key, into: (&'static Cell32, &'static Cell32)) {
        let (mut low, mut high) = into;
        while node != 0 {
            let (smaller, greater) = self.nodes.links(node);
            if self.nodes.key(node) < *key {
                low.set(node);
                low = greater;
                node = greater.get();
            } else {
                high.set(node);
                high = smaller;
                node = smaller.get();
            }
        }
        low.set(0);
        high.set(0);
    }

    /// The reverse: all keys of `low` are smaller than all of `high`.
    fn join(&self, mut link: &'static Cell32, mut low: u32, mut high: u32) {
        while low != 0 && high != 0 {
            if priority(low) >= priority(high) {
                link.set(low);
                link = self.nodes.links(low).1;
                low = link.get();
            } else {
                link.set(high);
                link = self.nodes.links(high).0;
                high = link.get();
            }
        }
        link.set(low | high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Plain(Vec<(u64, &'static (Cell32, Cell32))>);

    impl Nodes for Plain {
        type Key = u64;
        fn key(&self, node: u32) -> u64 {
            self.0[node as usize].0
        }
        fn links(&self, node: u32) -> (&'static Cell32, &'static Cell32) {
            let (_, links) = self.0[node as usize];
            (&links.0, &links.1)
        }
    }

    #[test]
    fn it_agrees_with_a_map() {
        let mut random = 1u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        let links = || &*Box::leak(Box::new((Cell32::default(), Cell32::default())));
        let nodes = Plain((0..1000).map(|i| (next() << 10 | i, links())).collect());
        let root = &*Box::leak(Box::new(Cell32::default()));
        let tree = Tree { root, nodes: &nodes };
        let mut map = BTreeMap::new();
        for _ in 0..20_000 {
            let node = (next() % 999 + 1) as u32;
            if map.remove(&nodes.key(node)).is_some() {
                tree.remove(node);
            } else {
                tree.insert(node);
                map.insert(nodes.key(node), node);
            }
            assert_eq!(tree.first(), map.values().next().copied());
            let asked = nodes.key((next() % 999 + 1) as u32);
            assert_eq!(tree.find(&asked), map.get(&asked).copied());
        }
    }
}
