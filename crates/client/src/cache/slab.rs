//! Things with small numbers, which are used again.

/// What is under way, by number; the first number is 1.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Takes something in; returns its number.
    pub(super) fn admit(&mut self, one: T) -> u32 {
        let free = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        let number = u32::try_from(free + 1).expect("there is no memory for so many");
        self.put(number, one);
        number
    }

    /// Puts something back that was taken out, or in under the number that follows the last.
    pub(super) fn put(&mut self, number: u32, one: T) {
        match self.places.get_mut(number as usize - 1) {
            Some(place) => *place = Some(one),
            None => self.places.push(Some(one)),
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places.get((number as usize).checked_sub(1)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut((number as usize).checked_sub(1)?)?.as_mut()
    }

    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        self.places.get_mut((number as usize).checked_sub(1)?)?.take()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (1..).zip(&self.places).filter_map(|(number, place)| Some((number, place.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }
}
