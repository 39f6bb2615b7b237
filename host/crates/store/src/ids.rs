//! The ids of a table, gathered until its end.

/// Ids in input order in one piece of text: a proteome's worth of them costs their letters and one number each.
#[derive(Debug, Default)]
pub(crate) struct IdList {
    text: String,
    ends: Vec<usize>,
    longest: usize,
}

impl IdList {
    /// Adds one id.
    pub(crate) fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len());
        self.longest = self.longest.max(id.chars().count());
    }

    /// Number of ids.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Characters (not bytes) of the longest id.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The ids in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_in_order_with_their_length_in_characters() {
        let mut ids = IdList::default();
        for id in ["P1", "", "αβγ", "P1"] {
            ids.push(id);
        }
        assert_eq!(ids.iter().collect::<Vec<_>>(), ["P1", "", "αβγ", "P1"]);
        assert_eq!((ids.len(), ids.longest()), (4, 3));
    }
}
